"""The Python server that a careful person writes by hand for one XGBoost model.

    fastapi_xgboost.py MODEL [--port PORT] [--workers N]

It takes every shortcut that keeps the service honest: no request schema, no DMatrix, orjson on both
sides, uvloop and httptools under uvicorn, no access log. uvicorn itself prints the address.
"""

import argparse
import io
import os
from operator import itemgetter

# Before XGBoost loads OpenMP: threads that wait for each other cost more than they give on small
# requests, and workers would fight over the cores.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import orjson
import pandas as pd
import uvicorn
import xgboost
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

# uvicorn imports this file again in each worker, so the model's path travels in the environment.
MODEL = "PEER_MODEL"
# Above this many bytes a body is scored off the event loop: the hop to a thread costs a small
# request more than its own work, but a large one would stop everything else.
LARGE = 256 * 1024

app = FastAPI(openapi_url=None)

if MODEL in os.environ:
    booster = xgboost.Booster({"nthread": 1}, model_file=os.environ[MODEL])
    names = booster.feature_names
    pick = itemgetter(*names)


def read_json(body):
    return np.array([pick(record) for record in orjson.loads(body)], dtype=np.float32)


def read_csv(body):
    frame = pd.read_csv(io.BytesIO(body), dtype=np.float32)
    if list(frame.columns) != names:
        frame = frame[names]
    return frame.to_numpy()


def answer(read, body):
    try:
        rows = read(body)
    except (ValueError, KeyError, TypeError) as error:
        return Response(orjson.dumps({"message": str(error)}), 422, media_type="application/json")
    scores = booster.inplace_predict(rows, validate_features=False).tolist()
    data = [
        {
            "rowId": i,
            "prediction": 1 if p > 0.5 else 0,
            "predictionValues": [{"label": 1, "value": p}, {"label": 0, "value": 1 - p}],
        }
        for i, p in enumerate(scores)
    ]
    return Response(orjson.dumps({"data": data}), media_type="application/json")


@app.post("/predictions")
async def predictions(request: Request):
    body = await request.body()
    kind = request.headers.get("content-type", "")
    read = read_json if kind.startswith("application/json") else read_csv
    if len(body) > LARGE:
        return await run_in_threadpool(answer, read, body)
    return answer(read, body)


@app.get("/ping")
async def ping():
    return Response(b'{"response":"pong"}', media_type="application/json")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("model")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--workers", type=int, default=1)
    given = options.parse_args()
    os.environ[MODEL] = os.path.abspath(given.model)
    uvicorn.run(
        "fastapi_xgboost:app",
        app_dir=os.path.dirname(os.path.abspath(__file__)),
        host="127.0.0.1",
        port=given.port,
        workers=given.workers,
        loop="uvloop",
        http="httptools",
        access_log=False,
    )


if __name__ == "__main__":
    main()
