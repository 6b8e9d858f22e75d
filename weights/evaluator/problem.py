# What stops an evaluation: one sentence for the user.
#
# SPDX-License-Identifier: LGPL-2.1-or-later


class Problem(Exception):
    pass
