"""An HTTP service that recommends from an export; the server of language models is in ``lecdsr.llm_server``."""
