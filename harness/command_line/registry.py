"""The commands (in code: verbs). A new command is a file below `harness/verbs/` and a line here.

Reading this list imports nothing, so that `calvinbench --help` answers at once. The module of a command is imported
when the command is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

RUNNING, DATA, RESULTS, SETUP = "Run", "Data and training", "Results", "Setup"
HEADINGS = (RUNNING, DATA, RESULTS, SETUP)
"""In the order in which the help shows them."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A line of this list.

    Attributes:
        target: `module:Class`, below this package.
        heading: One of `HEADINGS`.
        summary: What it does, in one line.
    """

    target: str
    heading: str
    summary: str


VERBS: Mapping[str, Verb] = MappingProxyType(
    {
        "demo": Verb("demo:Demo", RUNNING, "Show the main job in a few minutes, offline: policies, a table, figures."),
        "run": Verb("run:Run", RUNNING, "Run policies on chains of tasks, or resume a run."),
        "check": Verb("check:Check", RUNNING, "Step a policy for a minute and report what looks wrong."),
        "merge": Verb(
            "results.merge:Merge", RUNNING, "Join the shards of runs (run --shard I/N), or merge LoRA adapters."
        ),
        "record": Verb("record:Record", DATA, "Record demonstrations of the scripted expert as a data set."),
        "data": Verb("data:Data", DATA, "Check whether a data set is complete, and report what is in it."),
        "train": Verb("train:Train", DATA, "Train a policy on demonstrations."),
        "import": Verb("import_robovlms:Import", DATA, "Convert a checkpoint of RoboVLMs."),
        "report": Verb("results.report:Report", RESULTS, "Write tables and figures of runs, and print the table."),
        "figures": Verb("results.figures:Figures", RESULTS, "Write the figures of runs for a paper, with captions."),
        "view": Verb("results.view:View", RESULTS, "Open the report of runs in a browser."),
        "video": Verb("results.video:Video", RESULTS, "Make videos of finished chains."),
        "compare": Verb("results.compare:Compare", RESULTS, "Report which of several runs is better, with statistics."),
        "export": Verb("results.export:Export", RESULTS, "Write results as CSV, Parquet, or CALVIN's results.json."),
        "plan": Verb("results.plan:Plan", RESULTS, "Report how many chains are needed to detect a difference."),
        "list": Verb("list:List", SETUP, "List tasks, scenes, backbones, policies, suites, configurations."),
        "doctor": Verb("doctor:Doctor", SETUP, "Report what works on this machine, and how to fix the rest."),
        "install-calvin": Verb("install_calvin:InstallCalvin", SETUP, "Clone CALVIN's simulator and sentences."),
    }
)
"""Name to verb."""
