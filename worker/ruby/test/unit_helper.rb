# frozen_string_literal: true

require "minitest/autorun"
require "stringio"
require "pgtasker/testing"
require_relative "support/fake_native"

Tasker.logger = Logger.new(StringIO.new)

class UnitTest < Minitest::Test
  def run_step(target = nil, **options, &block)
    Tasker::Testing.run(target, **options, &block)
  end

  # The failure of a step.
  def failure(target = nil, **options, &block)
    outcome = run_step(target, **options, &block).outcome
    assert_equal "failure", outcome["type"], outcome.inspect
    outcome
  end

  def eventually(what, within: 5)
    give_up = Process.clock_gettime(Process::CLOCK_MONOTONIC) + within
    until yield
      flunk("waited for #{what}") if Process.clock_gettime(Process::CLOCK_MONOTONIC) > give_up
      sleep 0.002
    end
  end
end
