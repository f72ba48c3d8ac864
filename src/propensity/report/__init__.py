"""The report: a run's numbers as one HTML file that works offline. It computes nothing but where to draw."""

from propensity.report.customer import render_customer
from propensity.report.render import render_report, write_page, write_report

__all__ = ["render_customer", "render_report", "write_page", "write_report"]
