# frozen_string_literal: true

require_relative "../unit_helper"

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
