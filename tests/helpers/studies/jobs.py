"""Cells of the finals, made without a search."""

from poc.shared.actions.study.candidates import list_candidates
from poc.shared.actions.study.jobs import Job
from poc.shared.actions.study.proposals import first_proposal
from poc.shared.data.protocol.protocol import choose_protocol
from poc.shared.data.protocol.question import Question
from poc.tests.helpers.studies.simulated_cells import make_protocol


def make_finals(name="lightlayers k=3", *, source=None, share=1.0, weights=()):
    """The final cells of a candidate in PyTorch; the source has 162 images in four classes."""
    protocol = choose_protocol(source, Question()) if source else make_protocol()
    candidate = next(item for item in list_candidates(weights) if item.name == name)
    return [
        Job(
            phase="finals",
            candidate=candidate,
            backend="torch",
            split=cell.split,
            seed=cell.seed,
            place=f"repeat={cell.repeat},fold={cell.fold}",
            proposal=first_proposal(candidate.kind) if candidate.kind else None,
            share=share,
        )
        for cell in protocol.cells
    ]
