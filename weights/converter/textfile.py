# Reading small files of text and JSON.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import json

from .problem import Problem


def read_file(path):
    try:
        data = path.read_bytes()
        data.decode()
    except OSError as e:
        raise Problem(f"{path}: cannot be read: {e.strerror}")
    except UnicodeDecodeError:
        raise Problem(f"{path}: expected text in UTF-8, found something else")
    return data


def read_json(path):
    try:
        value = json.loads(read_file(path))
    except ValueError as e:
        raise Problem(f"{path}: expected JSON: {e}")
    if not isinstance(value, dict):
        raise Problem(f"{path}: expected a JSON object")
    return value
