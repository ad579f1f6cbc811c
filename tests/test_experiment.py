"""What a run takes for its best."""

import dataclasses

from vbot.courses import TASKS
from vbot.experiment import Experiment
from vbot.run import Run
from vbot.settings import resolve


def test_a_policy_that_was_lucky_is_found_out_in_the_end(tmp_path, monkeypatch, capsys):
    """Two of equal evaluations, on a task that begins at the target: one that falls, and one that stands."""
    here = dataclasses.replace(TASKS["section001"], name="here", spawn_min_m=0.2, spawn_max_m=0.3)
    monkeypatch.setitem(TASKS, "here", here)
    given = {"env.task": "here", "env.num_envs": 8, "train.eval_episodes": 4, "train.threads": 1}
    experiment = Experiment(resolve("swift", options=given))
    policy = experiment._trainer.policy
    weights = policy.actor.state_dict()
    last_bias = [name for name in weights if name.endswith("bias")][-1]
    finalists = []
    for steps, joint_target in ((1_000_000, 10.0), (2_000_000, 0.0)):
        for name, values in weights.items():
            values.fill_(joint_target if name == last_bias else 0.0)
        evaluation = {"steps": steps, "episodes": 4, "success_rate": 1.0, "time_to_target_s": 1.0}
        finalists.append({"evaluation": evaluation, "policy": experiment._policy()})
    experiment._finalists = finalists
    experiment.run = Run(tmp_path)
    assert experiment._choose()["evaluation"]["steps"] == 2_000_000
    assert "best of 2 policies on 8 new episodes: that of 2.00 M steps" in capsys.readouterr().out
