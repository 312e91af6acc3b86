require "pgtasker"

Tasker.worker.handler("nothing") { nil }

Tasker.worker.run
