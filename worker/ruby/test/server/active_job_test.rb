# frozen_string_literal: true

require_relative "../server_helper"
require "active_record"
require "active_job"
require "pgtasker/active_job"

ActiveJob::Base.logger = Logger.new(StringIO.new)

# ActiveJob's jobs as tasks of one step.
class ActiveJobTest < ServerTest
  DONE = Queue.new

  class Note < ActiveJob::Base
    self.queue_adapter = :tasker
    queue_as { arguments.first == "urgent" ? "Urgent Mail" : "default" }
    retry_on(KeyError, wait: 0, attempts: 3) { |job, _error| DONE << [:gave_up, job.executions] }

    def perform(text, fails: nil)
      raise KeyError, "no" if fails == "key"
      raise "odd" if fails == "odd"

      DONE << [text, executions]
      DONE << provider_job_id if fails == "id"
      Object.new
    end
  end

  def setup
    super
    ActiveRecord::Base.establish_connection("#{Server.url}?pool=20")
    Tasker::ActiveJobTemplates.forget
    DONE.clear
    worker = Tasker::Worker.new(namespaces: ["active_job"], database_url: Server.url,
                                handlers: [Tasker::ActiveJobHandler], logger: Logger.new(log))
    Tasker::ActiveJobTemplates.apply("default")
    worker.start
    @stops << -> { worker.stop }
  end

  def teardown
    super
    ActiveRecord::Base.remove_connection
  end

  def test_a_job_is_a_task_of_its_queue
    job = Note.perform_later("ä")
    assert_equal ["ä", 1], DONE.pop
    assert_equal "complete", ended(job.provider_job_id)
    assert_equal "default", client.task_status(job.provider_job_id)["name"]
    job = Note.perform_later("urgent")
    assert_equal "complete", ended(job.provider_job_id)
    assert_match(/\Aq_urgent_mail_[a-z0-9]+\z/, client.task_status(job.provider_job_id)["name"])
  end

  def test_a_job_knows_its_task_while_it_runs
    job = Note.perform_later("a", fails: "id")
    assert_equal [["a", 1], job.provider_job_id], [DONE.pop, DONE.pop]
  end

  def test_a_job_is_enqueued_in_the_callers_transaction
    job = nil
    ActiveRecord::Base.transaction do
      job = Note.perform_later("lost")
      raise ActiveRecord::Rollback
    end
    assert_raises(PG::Error) { client.task_status(job.provider_job_id) }
    # The template stays, although the transaction was the first that needed it.
    Tasker::ActiveJobTemplates.forget
    Note.perform_later("kept")
    assert_equal ["kept", 1], DONE.pop
  end

  def test_a_job_that_waits
    job = Note.set(wait: 3600).perform_later("later")
    later = "select run_at > now() + '50 min' from tasker.tasks where task_id = $1"
    assert_equal "t", db.exec_params(later, [job.provider_job_id]).getvalue(0, 0)
    client.cancel_task(job.provider_job_id, "test")
  end

  def test_retry_on_and_other_errors
    Note.perform_later("a", fails: "key")
    assert_equal [:gave_up, 3], DONE.pop
    job = Note.perform_later("a", fails: "odd")
    eventually("the second attempt") do
      step = steps(job.provider_job_id)["perform"]
      step && step["attempt"] >= 1 && step["error"]
    end
    assert_match(/RuntimeError: odd/, steps(job.provider_job_id)["perform"]["error"]["message"])
    client.cancel_task(job.provider_job_id, "test")
  end
end
