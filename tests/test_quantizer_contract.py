"""The contract of quantizers, for every case of `quantizer_checks`."""

import pytest
from quantizer_checks import CASES, CHECKS, cases_by_class, check_layers


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("case", CASES)
def test_contract(case, check):
    CHECKS[check](CASES[case])


@pytest.mark.parametrize("case", cases_by_class())
def test_in_layers(case, tmp_path):
    check_layers(CASES[case], tmp_path)
