"""The dataset leakage tester as a program of this example; the checks themselves are ckptkit's.

    python src/data_processing/dataset_leakage_tester.py --dataset-root ./output

`ckptkit check-data ./output` is the same with json and junit output for CI.
"""

import argparse
import sys

from ckptkit_data import DatasetLeakageTester

from ckptkit import CkptkitError

__all__ = ["DatasetLeakageTester"]


def main() -> int:
    parser = argparse.ArgumentParser(description="Check a LeRobot dataset for leaks between its episodes and splits.")
    parser.add_argument("--dataset-root", required=True, help="the folder that holds meta/ and data/")
    parser.add_argument("--near", type=float, metavar="TOL", help="also find copies that differ by at most TOL")
    args = parser.parse_args()
    try:
        tester = DatasetLeakageTester(args.dataset_root, near=args.near)
        tester.run_all_tests()
    except CkptkitError as error:
        print(f"dataset_leakage_tester: {error.message}\n  {error.hint}", file=sys.stderr)
        return error.exit_code
    tester.print_report()
    return tester.report.exit_code


if __name__ == "__main__":
    sys.exit(main())
