"""Checks every protocol of the catalogue and prints what came of each: `python -m tests.model [-v NAME] [--wide]`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.model.catalogue import FALL, HOLD, WIDE, Make
from tests.model.checker import Verdict, check


def main() -> int:
    """0 when what must hold holds and every variant falls as it must."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("-v", "--variant", choices=[*HOLD, *WIDE, *FALL], metavar="NAME", help="its trace")
    parser.add_argument("--wide", action="store_true", help="the larger models as well (half a minute)")
    options = parser.parse_args()
    if options.variant:
        print(_verdict(options.variant))
        return 0
    print(f"{'':<26} {'verdict':<9} {'states':>8} {'actions':>8} {'seconds':>8}")
    names = [*HOLD, *(WIDE if options.wide else ()), *FALL]
    return 1 if [name for name in names if not _is_as_expected(name)] else 0


def _verdict(name: str) -> Verdict:
    if name in FALL:
        return check(FALL[name].make(), only=FALL[name].rule)
    make: Make = (HOLD | WIDE)[name]
    return check(make())


def _is_as_expected(name: str) -> bool:
    """Prints the variant's line of the table."""
    begun = time.process_time()
    verdict = _verdict(name)
    seconds = time.process_time() - begun
    fallen = f"{verdict.fallen} falls" if verdict.fallen else "holds"
    length = str(len(verdict.trace) or "")
    print(f"{name:<26} {fallen:<9} {verdict.states:>8,} {length:>8} {seconds:>8.2f}", flush=True)
    return verdict.fallen == (FALL[name].rule if name in FALL else "")


if __name__ == "__main__":
    sys.exit(main())
