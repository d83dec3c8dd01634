"""Paired comparisons of methods over seeds, figures of a comparison, and the mean improvement over several tasks."""

from adapt.report._delta_m import delta_m
from adapt.report.figures import accuracy_bars, feature_map, save
from adapt.report.interval import Interval
from adapt.report.paired import Comparison, as_dicts, compare, mean_interval, table
from adapt.report.records import Cell, Data, Outcome, Record, Rows

__all__ = [
    "Cell",
    "Comparison",
    "Data",
    "Interval",
    "Outcome",
    "Record",
    "Rows",
    "accuracy_bars",
    "as_dicts",
    "compare",
    "delta_m",
    "feature_map",
    "mean_interval",
    "save",
    "table",
]
