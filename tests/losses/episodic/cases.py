from tests.losses.case import Case

CASES: list[Case] = []
