# frozen_string_literal: true

require_relative "../unit_helper"
require "open3"
require "tmpdir"

# The names that all languages share, as docs/languages.md has them for Ruby.
class NamesTest < UnitTest
  CONTEXT = %i[task_id step handler attempt claim_no correlation_id traceparent context config
               inputs parent parents state choose choose_none batches split split_by cursor
               last_checkpoint checkpoint batch get post put delete request idempotency_key
               transaction publish cancelled? check_cancelled! logger timeout].freeze
  WORKER = %i[handler callable resolver publisher subscribe state state= run start stop].freeze

  def test_the_public_names_are_those_of_the_table
    assert_empty CONTEXT - Tasker::StepContext.public_instance_methods
    assert_empty WORKER - Tasker::Worker.public_instance_methods
    assert_empty %i[handler callable] - Tasker::Handler::ClassMethods.public_instance_methods
    assert_empty %i[choose choose_none] - Tasker::Decision.public_instance_methods
    assert_empty %i[batches split split_by cursor last_checkpoint checkpoint batch] -
                 Tasker::Batchable.public_instance_methods
    assert_empty %i[get post put delete] - Tasker::Api.public_instance_methods
    assert_includes Tasker::Batch.public_instance_methods, :each_page
    assert_respond_to Tasker::Testing, :run
    assert_includes Tasker::Consumer.public_instance_methods, :run
    assert_equal [true, false], [Tasker::RetryableError, Tasker::PermanentError].map { |kind|
      kind.new("m", code: "c", retry_after: 1).retryable?
    }
  end

  def test_capabilities_are_included_and_never_inherited
    [Tasker::Handler, Tasker::Api, Tasker::Decision, Tasker::Batchable].each do |capability|
      assert_instance_of Module, capability
    end
  end

  LIB = File.expand_path("../../lib", __dir__)

  def ruby(code, lib: LIB)
    Open3.capture2e(RbConfig.ruby, "-w", "-I#{lib}", "-e", code)
  end

  def test_the_client_is_loaded_alone
    output, = ruby('require "pgtasker/client"; p Tasker::Client, defined?(Tasker::Worker)')
    assert_equal "Tasker::Client\nnil\n", output
  end

  def test_a_missing_native_module_names_the_platform
    Dir.mktmpdir do |lib|
      FileUtils.cp_r("#{LIB}/.", lib)
      FileUtils.rm(Dir["#{lib}/**/*.so"])
      output, = ruby('require "pgtasker"; Tasker::Worker.new(namespaces: ["a"]).start', lib: lib)
      assert_includes output, RUBY_PLATFORM
      assert_match(/Tasker::NativeError/, output)
    end
  end

  def test_the_signatures_are_valid
    sig = File.expand_path("../../sig", __dir__)
    arguments = ["-I", sig, "-r", "logger", "-r", "monitor", "validate", "--silent"]
    output, status = ruby(<<~RUBY)
      begin
        require "rbs"
        require "rbs/cli"
      rescue LoadError
        exit 7
      end
      RBS::CLI.new(stdout: $stdout, stderr: $stderr).run(#{arguments.inspect})
    RUBY
    skip "there is no rbs" if status.exitstatus == 7
    assert status.success?, output
  end

  # Each class and module that the library has is in the signatures, with its public methods.
  def test_the_signatures_have_every_public_name
    sig = Dir[File.expand_path("../../sig/*.rbs", __dir__)].map { |file| File.read(file) }.join
    { Tasker::StepContext => CONTEXT, Tasker::Worker => WORKER }.each do |owner, names|
      own = owner.public_instance_methods(false) & names
      missing = own.reject { |name| sig.match?(/\b(def|attr_\w+) #{Regexp.escape(name.to_s)}\b/) }
      missing -= %i[state= cancelled? check_cancelled!]
      assert_empty missing, owner
    end
  end
end
