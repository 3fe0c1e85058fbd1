import gc

import pytest

from calvinbench.envs.bodies.bullet import BulletClient


class TestBulletClient:
    def test_a_simulation_that_nobody_holds_is_freed(self):
        first = BulletClient()
        number = first._id
        del first
        gc.collect()
        second = BulletClient()
        assert second._id == number
        second.close()

    def test_may_be_closed_twice_and_frees_only_its_own(self):
        first = BulletClient()
        first.close()
        second = BulletClient()
        first.close()
        assert second.isConnected()
        second.close()

    def test_a_renewed_simulation_is_empty_and_the_old_one_is_freed(self):
        first = BulletClient()
        first.createMultiBody(1.0)
        number = first._id
        first.renew()
        assert first.getNumBodies() == 0
        assert first._id == number
        second = BulletClient()
        first.close()
        assert second.isConnected()
        second.close()

    def test_a_closed_simulation_is_not_renewed(self):
        closed = BulletClient()
        closed.close()
        with pytest.raises(RuntimeError, match="it was closed"):
            closed.renew()
