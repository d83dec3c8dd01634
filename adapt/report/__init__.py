"""Paired comparisons of methods over seeds, figures, the mean improvement over tasks, cost and provenance."""

from adapt.engine.flops import Flops, Parameters, flops, parameters
from adapt.report._cost import Spent, cost
from adapt.report._delta_m import delta_m
from adapt.report._discrepancy import Discrepancy, discrepancy, layers
from adapt.report._experiment import Experiment, experiment
from adapt.report._label_shift import LabelShift
from adapt.report._provenance import provenance
from adapt.report.figures import accuracy_bars, confusion, curves, feature_map, regret_dots, save, score_dots
from adapt.report.interval import Interval
from adapt.report.paired import Comparison, as_dicts, compare, mean_interval, table
from adapt.report.records import Cell, Data, Outcome, Record, Rows

__all__ = [
    "Cell",
    "Comparison",
    "Data",
    "Discrepancy",
    "Experiment",
    "Flops",
    "Interval",
    "LabelShift",
    "Outcome",
    "Parameters",
    "Record",
    "Rows",
    "Spent",
    "accuracy_bars",
    "as_dicts",
    "compare",
    "confusion",
    "cost",
    "curves",
    "delta_m",
    "discrepancy",
    "experiment",
    "feature_map",
    "flops",
    "layers",
    "mean_interval",
    "parameters",
    "provenance",
    "regret_dots",
    "save",
    "score_dots",
    "table",
]
