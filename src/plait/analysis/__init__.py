"""Where would parallel threads help? Findings on past sequential traffic."""

from plait.analysis.analyse import Analysis, Options, analyse
from plait.analysis.call import Call, Traffic
from plait.analysis.readers import read_traffic
from plait.analysis.view import markdown, terminal_lines, to_dict

__all__ = ["Analysis", "Call", "Options", "Traffic", "analyse", "markdown", "read_traffic",
           "terminal_lines", "to_dict"]
