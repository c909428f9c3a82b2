"""`python -m keras_ste.cli` is `keras-ste`."""

from keras_ste.cli import main

if __name__ == "__main__":
    main()
