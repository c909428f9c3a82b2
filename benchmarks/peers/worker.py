"""A process in a peer's environment, which does what the benchmarks ask it to."""

import json
import pathlib
import subprocess

from peers import environments


class Worker:
    """Asks the peer's worker script, one request and one answer a line; between two requests it waits.

    Raises:
        RuntimeError: the process ended without an answer.
    """

    def __init__(self, peer):
        script = pathlib.Path(__file__).with_name(f"{peer}_worker.py")
        command = [environments.python_of(peer), script]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process of the peer ended at the request {request}")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def find(peer):
    """A worker, or None, said aloud, where the peer's environment was not made."""
    if environments.python_of(peer) is None:
        help = 'pip install "keras_ste[tfmot]"' if peer == "tfmot" else f"python benchmarks/peers/environments.py {peer}"
        print(f"WITHOUT {peer}, which is not installed: {help}")
        return None
    return Worker(peer)
