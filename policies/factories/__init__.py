"""Factories of learned policies: from the argument and the settings of a policy spec to the policy.

Read in this order: `checkpoint_settings` and `checkpoint` (`checkpoint:FOLDER`), `untrained_settings`,
`untrained_backbone` and `untrained` (`untrained:BACKBONE`).

The modules named `*_settings` import no torch. Other rooms may import all of it.
"""
