# frozen_string_literal: true

require_relative "../unit_helper"
require "minitest/mock"
require "open3"
require "rbconfig"
require "tmpdir"

# What is set wrongly is told in the user's own words, before anything runs.
class SettingsTest < UnitTest
  LIB = File.expand_path("../../lib", __dir__)

  def refused(**settings)
    worker = Tasker::Worker.new(namespaces: ["test"], handlers: [], **settings)
    yield worker if block_given?
    Tasker::NativeLoader.stub(:native, FakeNative.new) do
      assert_raises(Tasker::StartError) { worker.start }.message
    end
  ensure
    worker&.stop
  end

  def test_numbers
    assert_equal "concurrency: give a whole number from 1, not -3", refused(concurrency: -3)
    assert_equal 'concurrency: give a whole number from 1, not "16"', refused(concurrency: "16")
    { lease: "30s", grace: -1, poll_interval: Float::NAN }.each do |name, value|
      assert_equal "#{name}: give seconds as a number, as 30 or 0.5, not #{value.inspect}",
                   refused(name => value)
    end
  end

  def test_numbers_of_a_consumer
    { visible: "1m", grace: -1, concurrency: 0, max_attempts: 1.5 }.each do |name, value|
      consumer = Tasker::Consumer.new(namespace: "test", name => value) { 1 }
      Tasker::NativeLoader.stub(:native, FakeNative.new) do
        message = assert_raises(Tasker::StartError) { consumer.start }.message
        assert_match(/\A#{name}: give .* not #{Regexp.escape(value.inspect)}\z/, message)
      end
    end
  end

  def test_a_worker_needs_a_namespace
    assert_match(/\Athis worker serves no namespace: set .*`-n NAME`/, refused(namespaces: []))
  end

  def test_one_namespace_needs_no_array
    worker = Tasker::Worker.new(namespaces: "a", handlers: [])
    worker.namespaces |= ["b"]
    assert_equal %w[a b], worker.namespaces
    worker.namespaces = :c
    assert_equal ["c"], worker.namespaces
  end

  class Twice
    include Tasker::Handler
    handler "settings_twice"
    def call(_ctx) = 1
  end

  class Without
    include Tasker::Handler
    handler "settings_without"
    def perform(_ctx) = 1
  end

  class Both
    include Tasker::Handler
    callable "settings_both"
    handler "settings_both.refund"
    def call(_ctx) = 1
    def refund(_ctx) = 2
  end

  class Hidden
    include Tasker::Handler
    callable "settings_hidden"
  end

  def test_names_that_two_handlers_have
    message = refused(handlers: [Twice]) { |worker| worker.handler("settings_twice") { 1 } }
    assert_match(/\Athere are two handlers settings_twice: SettingsTest::Twice and the block at /,
                 message)
  end

  def test_classes_without_a_method_to_call
    { Both => /there are two handlers settings_both\.refund/,
      Without => /settings_without: SettingsTest::Without has no public method `call`/,
      Hidden => /settings_hidden: SettingsTest::Hidden has no public method/ }.each do |owner, text|
      assert_match(text, refused(handlers: [owner]))
    end
  end

  def test_blocks_that_are_missing
    worker = Tasker::Worker.new(namespaces: "a", handlers: [])
    consumer = Tasker::Consumer.new(namespace: "a")
    { "the publisher of a.* has no block" => -> { worker.publisher("a.*") },
      "the subscriber of a.* has no block" => -> { worker.subscribe("a.*") },
      "a resolver has no block" => -> { worker.resolver },
      "the handler has no block" => -> { consumer.handler } }.each do |text, wrong|
      assert_equal text, assert_raises(ArgumentError) { wrong.call }.message
    end
    consumer.handler { 1 }
    assert_raises(ArgumentError) { consumer.handler { 2 } }
  end

  # Runs `pgtasker-worker`, whose worker only prints what it was told.
  def command(*arguments, **env)
    Dir.mktmpdir do |folder|
      File.write(File.join(folder, "app.rb"), <<~'RUBY')
        require "pgtasker"
        Tasker.worker = Class.new(Tasker::Worker) do
          def run
            names = %w[NAMESPACE CONCURRENCY].map { |name| ENV["TASKER_WORKER_#{name}"] }
            p [namespaces, concurrency, *names]
          end
        end.new(namespaces: "app", concurrency: 2)
      RUBY
      File.write(File.join(folder, "broken.rb"), 'require "no_such_library"')
      program = File.expand_path("../../exe/pgtasker-worker", __dir__)
      Open3.capture2e(env.transform_keys(&:to_s), RbConfig.ruby, "-w", "-I#{LIB}", program,
                      *arguments, chdir: folder)
    end
  end

  def test_flags_go_before_variables
    env = { TASKER_WORKER_NAMESPACE: "env", TASKER_WORKER_CONCURRENCY: "4" }
    output, = command("-r", "./app.rb", "-n", "more", "-c", "8", **env)
    assert_equal %([["app", "more"], 8, nil, nil]\n), output
    output, = command("-r", "./app.rb", **env)
    assert_equal %([["app"], 2, "env", "4"]\n), output
  end

  def test_the_command_runs_a_consumer_too
    consumer = <<~RUBY
      require "pgtasker"
      Tasker.worker = Tasker::Consumer.new(namespace: "a") { 1 }
      Tasker.worker.define_singleton_method(:run) { puts "consumed" }
    RUBY
    Dir.mktmpdir do |folder|
      file = File.join(folder, "consumer.rb")
      File.write(file, consumer)
      assert_equal "consumed\n", command("-r", file).first
      assert_match(/-n and -c are for workers/, command("-r", file, "-n", "b").first)
    end
  end

  def test_a_command_that_cannot_be
    { ["-r", "./none.rb"] => "pgtasker-worker: -r ./none.rb: there is no such file\n",
      ["-r", "./app.rb", "-p", "0"] =>
        "pgtasker-worker: invalid argument: --processes 0: give a number from 1\n" }
      .each do |given, text|
      output, status = command(*given)
      assert_equal [text, 1], [output, status.exitstatus]
    end
    # What the program itself lacks is told with its place.
    output, = command("-r", "./broken.rb")
    assert_match(/no_such_library.*broken\.rb:1:in/m, output)
  end
end
