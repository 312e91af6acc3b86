# frozen_string_literal: true

require_relative "../server_helper"

# Steps of one handler, through the engine and back.
class StepsTest < ServerTest
  Line = Struct.new(:sku, :count) { def self.tasker_types = { sku: String, count: Integer } }
  Order = Struct.new(:lines) { def self.tasker_types = { lines: [Line] } }

  # As PostgreSQL keeps it.
  def torture
    deep = (0...90).reduce(1) { |inner, n| n.even? ? [inner] : { "n" => inner } }
    { "unicode" => "žluťoučký 日本 👩‍👩‍👧 \u2028 \u0001 \"\\/",
      "" => { "" => [] },
      "big" => 123_456_789_012_345_678_901_234_567_890, "edge" => (2**53) + 1,
      "decimal" => BigDecimal("0.1234567890123456789012345"), "huge" => BigDecimal("1e400"),
      "zero" => -0.0, "float" => 0.1, "negative" => BigDecimal("-1234567890123456789.5"),
      "deep" => deep, "empty" => [{}, [], nil, false], "e" => 1e-7 }
  end

  def test_a_torture_document_comes_back_as_it_was
    seen = Queue.new
    apply_one("echo")
    work { |worker| worker.handler("echo") { |ctx| ctx.context.tap { |it| seen << it } } }
    task = enqueue(torture)
    assert_equal torture.merge("zero" => 0, "huge" => 10**400), result(task)["only"]
    same = "select result = (select context from tasker.tasks t where t.task_id = s.task_id) " \
           "from tasker.steps s where task_id = $1"
    assert_equal "t", db.exec_params(same, [task]).getvalue(0, 0)
    context = seen.pop
    assert_equal [Integer, BigDecimal, Float, Integer],
                 %w[big decimal float huge].map { |name| context[name].class }
  end

  def test_a_misfit_names_the_field
    apply_one("read")
    work { |worker| worker.handler("read") { |ctx| ctx.context(Order).lines.size } }
    assert_equal 1, result_of({ lines: [{ sku: "a", count: 1 }] })
    task = enqueue({ lines: [{ sku: "a", count: "1" }] })
    ended(task)
    error = step(task)["error"]
    assert_equal "context.lines[0].count: invalid type: a text, expected an integer",
                 error["message"]
    assert_equal [1, "invalid_input"], [step(task)["attempt"], error["code"]]
  end

  def test_both_errors_with_code_and_delay
    apply_one("fail")
    times = Queue.new
    work do |worker|
      worker.handler("fail") do |ctx|
        times << now
        raise Tasker::PermanentError.new("never", code: "n") if ctx.context["permanent"]
        raise Tasker::RetryableError.new("later", code: "l", retry_after: 0.7) if ctx.attempt == 1

        ctx.attempt
      end
    end
    assert_equal %w[never n], failure_of({ permanent: true }).values_at("message", "code")
    times.clear
    assert_equal 2, result_of({})
    assert_operator(-(times.pop - times.pop), :>=, 0.65)
  end

  def test_any_other_error_is_retried_and_has_cause_file_and_line
    apply_one("raise")
    attempts = Queue.new
    line = __LINE__ + 5
    work do |worker|
      worker.handler("raise") do |ctx|
        attempts << ctx.attempt
        begin
          Integer("x")
        rescue ArgumentError
          raise "cannot charge"
        end
      end
    end
    message = failure_of["message"]
    assert_equal [1, 2], Array.new(2) { attempts.pop }
    assert_match(/\ARuntimeError: cannot charge: ArgumentError: invalid value for Integer/, message)
    assert_match(/steps_test\.rb:#{line + 2} in .*\)\z/, message)
  end

  def test_a_handler_that_does_not_end_keeps_its_place_until_it_returns
    apply_one("hang", timeout_seconds: 1, retry: { max_attempts: 2, backoff_base_ms: 10 })
    gate = Queue.new
    reasons = Queue.new
    starts = Queue.new
    worker = work(concurrency: 1) do |it|
      it.handler("hang") do |ctx|
        starts << ctx.attempt
        next "again" if ctx.attempt == 2

        gate.pop
        reasons << ctx.cancel_reason
      end
    end
    task = enqueue
    eventually("the worker to say so") { worker.health.to_s.include?("places of worker") }
    assert_equal 1, starts.size, "its place is taken"
    gate << 1
    assert_equal "again", result(task)["only"]
    assert_equal "timeout", reasons.pop
  end

  def test_a_cancelled_task_reaches_its_handler
    apply_one("wait")
    seen = Queue.new
    work do |worker|
      worker.handler("wait") do |ctx|
        seen << :started
        sleep 0.01 until ctx.cancelled?
        seen << ctx.cancel_reason
        ctx.check_cancelled!
      end
    end
    task = enqueue
    assert_equal :started, seen.pop
    began = now
    client.cancel_task(task, "enough")
    assert_equal "cancelled", seen.pop
    assert_operator now - began, :<, 5
    assert_equal "cancelled", ended(task)
  end

  def test_a_name_that_the_process_lacks_goes_elsewhere
    apply_one("elsewhere")
    asked = Queue.new
    work { |worker| worker.resolver { |name| asked << name and nil } }
    task = enqueue
    assert_equal "elsewhere", asked.pop
    work { |worker| worker.handler("elsewhere") { "there" } }
    assert_equal "there", result(task)["only"]
    assert_equal 1, step(task)["attempt"]
  end

  class Payments
    include Tasker::Handler
    callable "payments"

    def initialize
      @made = 0
    end

    def refund(ctx)
      @made += 1
      { "method" => ctx.handler, "state" => ctx.state, "calls" => @made }
    end
  end

  def test_methods_of_a_callable_and_the_state
    apply({ name: "only", handler: { callable: "payments", method: "refund" } })
    work(handlers: [Payments], state: "shared")
    # Each step has an instance of its own.
    2.times do
      assert_equal({ "method" => "payments.refund", "state" => "shared", "calls" => 1 }, result_of)
    end
  end

  def test_parents_and_config
    apply({ name: "first", handler: { callable: "one", config: { by: 3 } } },
          { name: "only", dependencies: ["first"], handler: { callable: "two" } })
    work do |worker|
      worker.handler("one") { |ctx| { n: ctx.config["by"] * 2 } }
      worker.handler("two") { |ctx| [ctx.parent(:first)["n"], ctx.parents.keys, ctx.inputs] }
    end
    assert_equal [6, ["first"], nil], result_of
  end

  def test_lines_of_the_log_have_task_and_step
    apply_one("log")
    work(log: "info,pgtasker_worker=debug") do |worker|
      worker.handler("log") do |ctx|
        ctx.logger.info("charging")
        raise "no" if ctx.attempt == 1
      end
    end
    task = enqueue
    result(task)
    assert_match(/INFO -- : charging task_id=#{task} step=only/, log.string)
    eventually("the worker's own line") do
      log.string.lines.any? do |line|
        line.include?("pgtasker_worker") && line.include?("task_id=#{task}") &&
          line.include?("step=only")
      end
    end
  end

  def test_64_handlers_sleep_at_once
    apply_one("doze")
    gate = Queue.new
    work { |worker| worker.handler("doze") { gate.pop } }
    tasks = client.enqueue_tasks(namespace, "flow", [{}] * 64)
    eventually("64 handlers") { gate.num_waiting == 64 }
    64.times { gate << 1 }
    tasks.each { |task| assert_equal 1, result(task)["only"] }
  end

  def test_results_that_are_no_json_name_their_place
    apply_one("bad")
    bad = { "nan" => [Float::NAN], "object" => { a: Object.new }, "nil" => { nil => 1 },
            "bytes" => ["\xFF".b], "utf8" => "\xFF", "nul" => { a: "\0" } }
    bad["cycle"] = { a: [] }.tap { |cycle| cycle[:a] << cycle }
    work { |worker| worker.handler("bad") { |ctx| bad.fetch(ctx.context["kind"]) } }
    places = { "nan" => "at /0", "object" => "at /a", "nil" => "at /", "bytes" => "at /0",
               "utf8" => "at the whole", "nul" => "at /a", "cycle" => "at /a/0/a/0" }
    places.each do |kind, place|
      error = failure_of({ kind: kind })
      assert_equal "invalid_result", error["code"], kind
      assert_includes error["message"], place
    end
  end

  def test_whatever_a_handler_does_others_run_on
    apply_one("odd")
    work do |worker|
      worker.handler("odd") do |ctx|
        case ctx.context["kind"]
        when "exit" then exit
        when "thread" then Thread.exit
        when "stack" then (recurse = -> { recurse.call + 1 }).call
        when "throw" then throw :away
        else "fine"
        end
      end
    end
    %w[exit thread stack throw].each { |kind| assert failure_of({ kind: kind })["message"], kind }
    assert_equal "fine", result_of({ kind: "fine" })
  end

  def test_what_cannot_start_says_why
    error = assert_raises(Tasker::StartError) { work { |worker| worker.handler("Bad Name") { 1 } } }
    assert_match(/Bad Name/, error.message)
    worker = Tasker::Worker.new(namespaces: [namespace], database_url: "nonsense", handlers: [],
                                logger: Logger.new(log))
    assert_raises(Tasker::StartError) { worker.start }
    refute worker.running?
  end
end
