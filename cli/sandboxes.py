"""`sandbox build`: the image that boxes of the adapter `docker` are made of."""

import asyncio

from cli import screen
from holdfast.config import Settings
from sandbox import docker_image
from sandbox.docker_engine import Engine


def build(settings: Settings, from_system: bool) -> None:
    asyncio.run(_build(settings, from_system))


async def _build(settings: Settings, from_system: bool) -> None:
    engine, image = Engine(settings.docker_host), settings.sandbox_docker_image
    if from_system:
        await docker_image.build_from_system(engine, image, settings.sandbox_python_path)
    else:
        await docker_image.build(engine, image)
    screen.result(image)
    screen.say("run programs in it: SANDBOX_TYPE=docker")
