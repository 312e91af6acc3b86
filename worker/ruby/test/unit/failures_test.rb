# frozen_string_literal: true

require_relative "../unit_helper"
require "active_record"
require "pg"
require "pp"

# How errors of handlers are judged.
class FailuresTest < UnitTest
  def test_both_errors_carry_code_and_delay
    expected = { "type" => "failure", "message" => "busy", "retryable" => true, "code" => "b",
                 "retry_after_ms" => 1500 }
    assert_equal expected, failure {
      raise Tasker::RetryableError.new("busy", code: "b", retry_after: 1.5)
    }
    expected = { "type" => "failure", "message" => "no", "retryable" => false, "code" => "n" }
    assert_equal expected, failure {
      raise Tasker::PermanentError.new("no", code: "n", retry_after: 2)
    }
  end

  def test_any_other_error_is_retryable_with_causes_and_place
    line = __LINE__ + 2
    failed = failure do
      Integer("x")
    rescue ArgumentError
      raise "cannot charge"
    end
    assert failed["retryable"]
    assert_match(/\ARuntimeError: cannot charge: ArgumentError: invalid value for Integer\(\)/,
                 failed["message"])
    assert_match(/\(.*failures_test\.rb:#{line + 2} in .*\)\z/, failed["message"])
  end

  def test_the_place_is_the_users_own_code
    line = __LINE__ + 1
    failed = failure { JSON.parse("{") }
    assert_match(/failures_test\.rb:#{line} in/, failed["message"])
  end

  def test_messages_never_show_the_steps_data
    secret = { card: "4242424242424242" }
    { "Hash" => [-> { secret.charge }, -> { secret.freeze[:a] = 1 }],
      "no JSON" => [-> { JSON.parse("4242x") }] }.each do |told, all|
      all.each do |broken|
        message = failure { broken.call }["message"]
        refute_includes message, "4242"
        assert_includes message, told
      end
    end
    ctx = nil
    run_step(context: secret) { |it| ctx = it and nil }
    refute_includes "#{ctx.inspect}#{ctx}", "4242"
  end

  def test_rubys_own_messages_show_no_values
    secret = { card: "4242424242424242" }
    local = Struct.new(:card) { def call = missing }.new("4242")
    hidden = Class.new { private def charge = 1 }.new
    { "matches the value: key not found: :amount" => -> { secret => { amount: Integer } },
      "no pattern matches the value" => -> { secret => Integer },
      "undefined local variable or method 'missing' for #<Class" => -> { local.call },
      "private method 'charge' called for #<Class" => -> { hidden.charge },
      "ArgumentError: invalid value for Integer() (" => -> { Integer(secret[:card] + "x") },
      "NoMethodError: as I say" => -> { raise NoMethodError, "as I say" },
      "FrozenError: as I say" => -> { raise FrozenError, "as I say" } }.each do |told, broken|
      message = failure { broken.call }["message"]
      refute_includes message, "4242"
      assert_includes message, told.sub("#<Class", "")
    end
  end

  def test_texts_of_several_encodings_are_one_message
    message = failure do
      raise "h\u00e9".encode("UTF-16LE")
    rescue RuntimeError
      raise ArgumentError, "caf\u00e9 \xFF".b
    end["message"]
    assert_match(/\AArgumentError: caf\u00e9 \u{fffd}: RuntimeError: h\u00e9 \(/, message)
    assert_match(/\ARuntimeError: a/, failure { raise "a".dup.force_encoding("UTF-7") }["message"])
  end

  class Odd < StandardError
    def backtrace_locations = raise("no")
  end

  class OddEnd < Tasker::PermanentError
    def message = raise("no")
  end

  def test_errors_that_raise_errors_are_named
    assert_equal ["FailuresTest::Odd: (it raises an error itself where it is to be shown)", true],
                 failure { raise Odd, "m" }.values_at("message", "retryable")
    refute failure { raise OddEnd, "m" }["retryable"]
  end

  def test_a_delay_that_is_no_time_leaves_the_templates_backoff
    ["soon", Float::NAN, Float::INFINITY, [1]].each do |delay|
      refute failure { raise Tasker::RetryableError.new("m", retry_after: delay) }
        .key?("retry_after_ms")
    end
  end

  Result = Struct.new(:primary) do
    def error_field(name) = name == PG::Result::PG_DIAG_SQLSTATE ? "23505" : primary
  end

  def test_the_code_of_an_error_of_the_database_is_its_sqlstate
    told = PG::UniqueViolation.new("it is there")
    told.define_singleton_method(:result) { Result.new("it is there") }
    assert_equal "23505", failure { raise told }["code"]
    wrapped = failure do
      raise told
    rescue PG::Error
      raise ActiveRecord::RecordNotUnique, "it is there"
    end
    assert_equal "23505", wrapped["code"]
    refute failure { raise PG::ConnectionBad, "gone" }.key?("code")
    refute failure { raise "no" }.key?("code")
  end

  def test_errors_of_the_database_show_no_rows
    long = "ERROR:  duplicate key value\nDETAIL:  Key (card)=(4242) already exists.\n"
    bare = PG::UniqueViolation.new(long)
    told = PG::UniqueViolation.new(long)
    told.define_singleton_method(:result) { Result.new("it is there already") }
    cleared = PG::UniqueViolation.new(long)
    cleared.define_singleton_method(:result) { raise PG::Error, "cleared" }
    { bare => "duplicate key value", told => "it is there already",
      cleared => "duplicate key value" }.each do |error, text|
      assert_equal "PG::UniqueViolation: #{text}", Tasker::Failures.described(error)
      message = failure do
        raise error
      rescue PG::Error => cause
        raise ActiveRecord::RecordNotUnique, "#{cause.class}: #{cause.message}"
      end["message"]
      assert_match(/\AActiveRecord::RecordNotUnique: PG::UniqueViolation: #{text} \(/, message)
      refute_includes message, "4242"
    end
    other = ActiveRecord::StatementInvalid.new("no such table\ninsert 4242")
    assert_equal "ActiveRecord::StatementInvalid: no such table",
                 Tasker::Failures.described(other)
  end

  def test_what_a_handler_has_shows_no_data
    summary = { instances: 1, complete: 1, failed: 0, results: ["4242"] }
    all = nil
    run_step(parents: { add: summary }, pages: { add: [{ result: "4242", inputs: "4242" }] },
             checkpoint: { cursor: "4242", items_processed: 1, accumulated: "4242" }) do |ctx|
      batch = ctx.batch("add")
      event = Tasker::Publication.new(name: "a.b", payload: "4242", metadata: "4242")
      all = [batch, batch.each.to_a, ctx.last_checkpoint, ctx.checkpoint("4242", 1), event,
             Tasker::Outcome.success("4242"), Tasker::DomainEvent.new(name: "a.b", payload: "4242")]
      nil
    end
    all.flatten.each do |one|
      [one.inspect, one.to_s, PP.pp(one, +"")].each do |text|
        assert_match(/\A#<Tasker::\w+ [\w. ]+>$/, text)
        refute_includes text, "4242"
      end
    end
  end

  def test_what_is_no_standard_error_fails_its_step_too
    assert_match(/\ASystemExit: exit/, failure { exit }["message"])
    assert_match(/\ANotImplementedError/, failure { raise NotImplementedError, "x" }["message"])
    deep = ->(n) { deep.call(n + 1) + 1 }
    assert_match(/\ASystemStackError/, failure { deep.call(0) }["message"])
    assert_match(/\AUncaughtThrowError/, failure { throw :away }["message"])
  end

  def test_messages_are_text_that_the_database_takes
    message = failure { raise "a\0b\xFF" + ("x" * 20_000) }["message"]
    assert_equal [10_000, true], [message.size, message.valid_encoding?]
    assert_includes message, "a\u{fffd}b"
  end

  def test_results_that_are_no_json_name_their_place
    failed = failure { { a: [1, Float::NAN] } }
    assert_equal "the step's result cannot be stored: NaN is no number in JSON, at /a/1",
                 failed["message"]
    assert_equal [false, "invalid_result"], failed.values_at("retryable", "code")
  end

  def test_a_misfit_is_permanent
    failed = failure(context: []) { |ctx| ctx.context(Hash) }
    assert_equal ["context: invalid type: an array, expected an object", false, "invalid_input"],
                 failed.values_at("message", "retryable", "code")
  end
end
