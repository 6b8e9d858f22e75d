# SPDX-License-Identifier: LGPL-2.1-or-later
"""What stops a training run: one sentence for the user."""


class Problem(Exception):
    pass
