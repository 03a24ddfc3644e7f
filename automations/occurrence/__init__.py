"""The verb *report*: something happened in the caller's world, and the runs whose rules name it are called off."""

from automations.occurrence.reporting import FAILURES_LISTED, ReportRequest, report

__all__ = ["FAILURES_LISTED", "ReportRequest", "report"]
