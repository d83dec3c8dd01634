"""Experiments that tell the truth: verdicts, benefit, harm, calibration, cost, provenance, and figures."""

from adapt.engine.flops import Flops, Parameters, flops, parameters
from adapt.report._adversary import adversary
from adapt.report._benefit import Benefit, benefit
from adapt.report._calibration import Bin, Calibration, calibration
from adapt.report._cost import Spent, cost
from adapt.report._critical_difference import CriticalDifference, critical_difference
from adapt.report._delta_m import delta_m
from adapt.report._diebold_mariano import DieboldMariano, diebold_mariano
from adapt.report._discrepancy import Discrepancy, discrepancy, layers
from adapt.report._experiment import Experiment, experiment
from adapt.report._first_look import first_look
from adapt.report._groups import Group, Groups, groups, per_class
from adapt.report._label_shift import LabelShift
from adapt.report._no_encoder import no_encoder
from adapt.report._provenance import provenance
from adapt.report._separation import Separation, separation
from adapt.report._text_gap import TextGap, text_gap
from adapt.report._trained_enough import TrainedEnough, trained_enough
from adapt.report.figures import (
    accuracy_bars,
    confusion,
    curves,
    feature_map,
    rank_diagram,
    regret_dots,
    reliability,
    roc,
    save,
    score_dots,
)
from adapt.report.interval import Interval
from adapt.report.paired import Comparison, as_dicts, compare, mean_interval, table
from adapt.report.records import Cell, Data, Outcome, Record, Rows

__all__ = [
    "Benefit",
    "Bin",
    "Calibration",
    "Cell",
    "Comparison",
    "CriticalDifference",
    "Data",
    "DieboldMariano",
    "Discrepancy",
    "Experiment",
    "Flops",
    "Group",
    "Groups",
    "Interval",
    "LabelShift",
    "Outcome",
    "Parameters",
    "Record",
    "Rows",
    "Separation",
    "Spent",
    "TextGap",
    "TrainedEnough",
    "accuracy_bars",
    "adversary",
    "as_dicts",
    "benefit",
    "calibration",
    "compare",
    "confusion",
    "cost",
    "critical_difference",
    "curves",
    "delta_m",
    "diebold_mariano",
    "discrepancy",
    "experiment",
    "feature_map",
    "first_look",
    "flops",
    "groups",
    "layers",
    "mean_interval",
    "no_encoder",
    "parameters",
    "per_class",
    "provenance",
    "rank_diagram",
    "regret_dots",
    "reliability",
    "roc",
    "save",
    "score_dots",
    "separation",
    "table",
    "text_gap",
    "trained_enough",
]
