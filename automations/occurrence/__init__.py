"""The verb *report*: something happened in the caller's world, and the runs whose rules name it are called off."""

from automations.occurrence.reporting import ReportRequest, report

__all__ = ["ReportRequest", "report"]
