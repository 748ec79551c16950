"""The mix: one file a scenario, with a `SCENARIO` in it. A new capability adds its file, and nothing else."""

import importlib
import pkgutil

from chaos.scenario import Scenario


def all_of_them() -> dict[str, Scenario]:
    """Every scenario by its name, in the order of their names."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    return {module.SCENARIO.name: module.SCENARIO for module in modules}
