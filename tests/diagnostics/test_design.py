"""What is counted of the model, the conditions and the paper's own design."""

from lewm_core.diagnostics import design
from lewm_core.stats import paper
from lewm_core.stats.table_judges import alone
from lewm_core.stats.verdicts import CONTRADICTED


def test_the_papers_pilot_takes_the_steps_of_which_it_tells_and_its_full_set_more():
    steps = design.paper_steps()
    assert steps.set_index("scale").value["pilot"] == paper.PILOT_STEPS
    found = alone(steps)
    assert found.verdict == CONTRADICTED and found.ours == "optimizer steps 340 → 2960", "2,358 windows of 148 batches"
