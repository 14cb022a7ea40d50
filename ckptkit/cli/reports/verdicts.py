"""Exit codes of a verification in one word, for programs, and in one sentence, for people."""

from ckptkit.verification import Report

VERDICTS = {
    0: ("good", "All that was looked at verifies"),
    1: ("damaged", "Something is not what was saved: nothing resumes from what is damaged"),
    3: ("unproven", "Nothing is wrong, but not every item is proven to resume"),
    4: ("nothing", "There was nothing to check, which is never good"),
    5: ("unsafe", "Loading would run code, a path leaves its folder, or nobody who is trusted has signed it"),
    7: ("not-judged", "Nothing is wrong, but some of it needs a backend that is missing here or failed"),
}
NOT_MET = ("rule-not-met", "What was looked at is as it was saved, but a rule is not met")
BROKEN = "broken"
"""The verdict of a verification that ended with an error."""


def of(report: Report) -> tuple[str, str]:
    """Return the word and the sentence."""
    codes = {problem.code for _, problem in report.findings if problem.severity != "warning"}
    return NOT_MET if codes == {"rule-not-met"} else VERDICTS[report.exit_code]
