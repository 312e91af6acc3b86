from pgtasker import StepContext, Worker

worker = Worker()


@worker.handler("nothing")
def nothing(ctx: StepContext) -> None:
    pass


worker.run()
