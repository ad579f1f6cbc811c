"""vbot itself, as ``python -m vbot.train`` runs it, with everything that it logs."""

import dataclasses

from session import Session, options
from training import TimedExperiment, endless_settings, train


class TimedShare(TimedExperiment):
    """The budget is the session's training time, as every peer's is."""

    session: Session

    def _progress(self) -> float:
        return min(self.session.share, 1 - 1e-6)  # at 1 it would evaluate once more; the session ends it


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--envs", type=int, help="default: training's")
    given = parser.parse_args()
    session = Session(given)
    num_envs = given.envs or session.config.num_envs
    settings = endless_settings(session.reward_set_name, num_envs, session.threads, session.seed)
    # The session's evaluations are the only ones: none of its own on the clock.
    training = dataclasses.replace(settings.config.train, eval_interval=settings.config.train.steps)
    settings = dataclasses.replace(settings, config=dataclasses.replace(settings.config, train=training))
    experiment = TimedShare(settings, quiet=True)
    experiment.session = session
    session.go_on(0, experiment._act)
    train(experiment, lambda _: session.go_on(experiment.steps, experiment._act))


if __name__ == "__main__":
    main()
