import gc

from calvinbench.envs.bullet import BulletClient


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
