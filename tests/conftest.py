"""What all tests share: Hypothesis gives no verdict on time, which belongs to the machine and its neighbours."""

import hypothesis

hypothesis.settings.register_profile("zhiwei", deadline=None)
hypothesis.settings.load_profile("zhiwei")
