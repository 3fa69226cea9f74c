"""Hashes of passwords, and of users who do not exist."""

import argon2

from trunkline.security.passwords import NOBODY, generate, hash_password, verify


def test_a_user_who_does_not_exist_costs_as_much_to_refuse() -> None:
    """GD-1: same algorithm, version, memory, passes and lengths as a real hash; so the time of an answer does not tell who exists."""
    assert argon2.extract_parameters(NOBODY) == argon2.extract_parameters(hash_password(generate()))
    assert verify(generate(), None) == (False, None)


def test_a_password_is_checked_against_its_hash() -> None:
    password = generate()
    stored = hash_password(password)
    assert verify(password, stored) == (True, None)
    assert verify(generate(), stored) == (False, None)
    assert verify(password, "no hash at all") == (False, None)


def test_an_outdated_hash_is_replaced() -> None:
    password = generate()
    outdated = argon2.PasswordHasher(time_cost=1, memory_cost=8192).hash(password)
    right, fresh = verify(password, outdated)
    assert right
    assert fresh is not None
    assert argon2.extract_parameters(fresh) == argon2.extract_parameters(NOBODY)
