"""Why physics is set as it is: speed and stability of the alternatives, all measured in one run.

    python benchmarks/physics.py [--json FILE]

Every row steps 1,024 robots under random joint targets (standing pose + 0.3 rad of noise every 20 ms), three times
over; the median counts. "broken" are simulations that diverged, per million control steps; "height" is that of the
base after a second of standing still.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import mujoco
import mujoco.batch
import numpy as np

from vbot.courses import GROUND, SECTION001
from vbot.robot import load_robot
from vbot.sim import DIVERGED_SPEED, available_cores, build_model, compile_model, engine_clock

ROBOTS, CONTROL_S, NOISE_RAD = 1024, 0.02, 0.3
ROBOT = load_robot("vbot")


def chosen(step_s: float = 0.01) -> mujoco.MjModel:
    return build_model(ROBOT, SECTION001, step_s)


def with_options(step_s: float = 0.01, **options: float) -> mujoco.MjModel:
    model = chosen(step_s)
    for name, value in options.items():
        setattr(model.opt, name, value)
    return model


def with_shapes(keep: Callable[[mujoco.MjsGeom], bool]) -> mujoco.MjModel:
    """The chosen model, colliding with the published shapes that ``keep`` says."""
    spec = ROBOT.spec()
    for geom in spec.geoms:
        if geom.classname.name in ("collision", "detail", "foot"):
            geom.conaffinity = int(keep(geom))
    SECTION001.add_to(spec)
    return compile_model(spec, 0.01)


def with_contacts_looked_for() -> mujoco.MjModel:
    spec = ROBOT.spec()
    spec.compiler.discardvisual = True
    SECTION001.add_to(spec)
    model, reference = spec.compile(), chosen()
    for name in ("timestep", "integrator", "solver", "cone", "impratio", "iterations", "ls_iterations", "disableflags"):
        setattr(model.opt, name, getattr(reference.opt, name))
    return model


def on_a_cylinder() -> mujoco.MjModel:
    spec = ROBOT.spec()
    spec.worldbody.add_geom(
        name=GROUND,
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[SECTION001.disc_radius_m, 1, 0],
        pos=[0, 0, -1],
        contype=1,
        conaffinity=0,
    )
    return compile_model(spec, 0.01)


def with_gains(kp: float, kd: float) -> mujoco.MjModel:
    model = chosen()
    model.actuator_gainprm[:, 0] = kp
    model.actuator_biasprm[:, 1], model.actuator_biasprm[:, 2] = -kp, -kd
    return model


ON_TIME = "the engine keeps time"
ELLIPTIC = int(mujoco.mjtCone.mjCONE_ELLIPTIC)
DISABLED = chosen().opt.disableflags
ISLANDS, TREES = int(mujoco.mjtDisableBit.mjDSBL_ISLAND), int(mujoco.mjtDisableBit.mjDSBL_MIDPHASE)
VARIANTS: dict[str, Callable[[], mujoco.MjModel]] = {
    "chosen: 10 ms x 2, Newton 4/8, pyramidal": chosen,
    "5 ms x 4": lambda: chosen(0.005),
    "20 ms x 1": lambda: chosen(0.02),
    "Newton 1/8": lambda: with_options(iterations=1),
    "Newton 2/8": lambda: with_options(iterations=2),
    "Newton 3/6": lambda: with_options(iterations=3, ls_iterations=6),
    "Newton 8/16": lambda: with_options(iterations=8, ls_iterations=16),
    "elliptic cone": lambda: with_options(cone=ELLIPTIC),
    "elliptic cone, impratio 100 (published)": lambda: with_options(cone=ELLIPTIC, impratio=100),
    "islands looked for": lambda: with_options(disableflags=DISABLED & ~ISLANDS),
    "islands and trees of boxes looked for": lambda: with_options(disableflags=DISABLED & ~ISLANDS & ~TREES),
    "contacts looked for": with_contacts_looked_for,
    ON_TIME: chosen,
    "all published shapes": lambda: with_shapes(lambda g: True),
    "feet, trunk, bumpers and head only": lambda: with_shapes(
        lambda g: g.classname.name == "foot" or g.name in ("head", "trunk", "front_bumper", "back_bumper")
    ),
    "ground is a cylinder": on_a_cylinder,
    "kp 40, kd 3": lambda: with_gains(40, 3),
    "kp 80, kd 2": lambda: with_gains(80, 2),
    "kp 120, kd 9": lambda: with_gains(120, 9),
}


def standing_height(model: mujoco.MjModel) -> float:
    batch = mujoco.batch.Batch(model, nsim=1, nthread=1)
    qpos, ctrl = batch.bind("qpos"), batch.bind("ctrl")
    qpos[:, 2], qpos[:, 7:], ctrl[:] = ROBOT.standing_height(model), ROBOT.standing_pose, ROBOT.standing_pose
    batch.step(nstep=round(1 / model.opt.timestep))
    return float(qpos[0, 2])


def measure(model: mujoco.MjModel, control_steps: int) -> tuple[float, float]:
    """Control steps per second, and broken simulations per million control steps."""
    batch = mujoco.batch.Batch(model, nsim=ROBOTS, nthread=available_cores())
    for field in ("sensordata", "geom_xpos", "actuator_force"):  # what the environment reads
        batch.bind(field)
    qpos, qvel, ctrl = batch.bind("qpos"), batch.bind("qvel"), batch.bind("ctrl")
    standing = np.array(ROBOT.standing_pose)
    rng = np.random.default_rng(0)

    def stand(rows: np.ndarray) -> None:
        batch.reset(ids=rows, stage=mujoco.mjtStage.mjSTAGE_NONE)
        qpos[rows, 2] = ROBOT.standing_height(model)
        qpos[rows[:, None], np.arange(7, 19)] = standing

    stand(np.arange(ROBOTS))
    substeps = round(CONTROL_S / model.opt.timestep)
    broken, seconds = 0, []
    for _ in range(control_steps):
        ctrl[:] = standing + NOISE_RAD * rng.standard_normal(ctrl.shape)
        start = time.perf_counter()
        batch.step(nstep=substeps)
        seconds.append(time.perf_counter() - start)
        bad = ~(np.abs(qvel) < DIVERGED_SPEED).all(1)
        if bad.any():
            broken += int(bad.sum())
            stand(np.flatnonzero(bad))
    return ROBOTS / statistics.median(seconds), 1e6 * broken / (ROBOTS * control_steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--control-steps", type=int, default=100, metavar="N", help="per repetition; three of them")
    given = parser.parse_args()
    models = {name: make() for name, make in VARIANTS.items()}
    clock = engine_clock()
    ticking = clock.value
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    for _ in range(3):  # interleaved, so that a noisy minute does not fall on one row
        for name, model in models.items():
            clock.value = ticking if name == ON_TIME else None
            samples[name].append(measure(model, given.control_steps))
    rows = []
    base = statistics.median(speed for speed, _ in samples["chosen: 10 ms x 2, Newton 4/8, pyramidal"])
    print(f"{'':42}{'steps/s':>10}{'ratio':>8}{'broken/M':>10}{'height m':>10}")
    for name, model in models.items():
        speed = statistics.median(s for s, _ in samples[name])
        broken = statistics.median(b for _, b in samples[name])
        height = standing_height(model)
        rows.append(
            {"variant": name, "steps_per_s": speed, "ratio": speed / base, "broken": broken, "height_m": height}
        )
        print(f"{name:42}{speed:10,.0f}{speed / base:8.2f}{broken:10.1f}{height:10.3f}")
    if given.json is not None:
        given.json.write_text(json.dumps({"threads": available_cores(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
