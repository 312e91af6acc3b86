# frozen_string_literal: true

require_relative "../unit_helper"
require "open3"
require "tmpdir"

# A Rails application with the gem in it, as a process of its own.
class RailtieTest < UnitTest
  LIB = File.expand_path("../../lib", __dir__)

  APPLICATION = <<~'RUBY'
    require "logger"
    require "rails"
    require "active_record/railtie"
    require "active_job/railtie"
    require "pgtasker/testing"
    require "#{__dir__}/fake"

    class Shop < Rails::Application
      config.root = __dir__
      config.eager_load = false
      config.logger = Logger.new($stdout, formatter: ->(_, _, _, m) { "LOG #{m}\n" })
      config.active_job.queue_adapter = :tasker
      config.tasker.namespaces = [:orders]
      config.tasker.concurrency = 16
    end
    ENV["DATABASE_URL"] = "postgres://localhost:1/none?pool=5"
    Rails.application.initialize!

    p ActiveJob::Base.queue_adapter.class
    wrapped = 0
    Rails.application.executor.to_run { wrapped += 1 }
    native = FakeNative.new
    Tasker::NativeLoader.define_singleton_method(:native) { native }
    Rails.application.eager_load!
    Tasker.worker.start
    native.step(1, "ship")
    p native.answer(1)
    p wrapped, native.options.slice("namespaces", "concurrency", "handlers")
    Tasker.worker.stop
  RUBY

  def test_an_application
    Dir.mktmpdir do |folder|
      FileUtils.mkdir_p("#{folder}/app/handlers")
      FileUtils.mkdir_p("#{folder}/config")
      File.write("#{folder}/config/database.yml", "development: {}\n")
      File.write("#{folder}/app/handlers/ship.rb", <<~RUBY)
        class Ship
          include Tasker::Handler
          handler "ship"
          def call(ctx) = ctx.step
        end
      RUBY
      FileUtils.cp(File.expand_path("../support/fake_native.rb", __dir__), "#{folder}/fake.rb")
      File.write("#{folder}/app.rb", APPLICATION)
      output, = Open3.capture2e(RbConfig.ruby, "-I#{LIB}", "#{folder}/app.rb")
      [
        "ActiveJob::QueueAdapters::TaskerAdapter",
        '{"type"=>"success", "result"=>"s"}',
        "\n1\n",
        '{"namespaces"=>["orders"], "concurrency"=>16, "handlers"=>["active_job", "ship"]}',
        "LOG ActiveRecord's pool has 5 connections for 16 steps at once"
      ].each { |line| assert_includes output, line }
    end
  end

  # As `rails new` has it: the gem comes after Rails.
  ENVIRONMENT = <<~'RUBY'
    require "rails"
    require "pgtasker"

    class Shop < Rails::Application
      config.root = File.expand_path("..", __dir__)
      config.eager_load = false
      config.logger = Logger.new($stderr)
      config.tasker.namespaces = ["orders"]
    end
    Rails.application.initialize!
    Tasker.worker.define_singleton_method(:run) { p namespaces, Tasker.logger == Rails.logger }
  RUBY

  def test_the_command_in_an_application
    Dir.mktmpdir do |folder|
      FileUtils.mkdir_p("#{folder}/config")
      File.write("#{folder}/config/environment.rb", ENVIRONMENT)
      command = File.expand_path("../../exe/pgtasker-worker", __dir__)
      output, = Open3.capture2e(RbConfig.ruby, "-I#{LIB}", command, chdir: folder)
      assert_equal "[\"orders\"]\ntrue\n", output
    end
  end

  def test_the_pool_is_compared_with_the_concurrency_that_counts
    code = <<~'RUBY'
      require "rails"
      require "active_record"
      require "pgtasker"
      pool = Struct.new(:size).new(5)
      ActiveRecord::Base.define_singleton_method(:connection_pool) { pool }
      Tasker.logger = Logger.new($stdout)
      Tasker::Railtie.check_pool(Tasker::Worker.new)
    RUBY
    run = ->(env) { Open3.capture2e(env, RbConfig.ruby, "-I#{LIB}", "-e", code).first }
    assert_includes run.call({}), "5 connections for 64 steps"
    assert_empty run.call({ "TASKER_WORKER_CONCURRENCY" => "4" })
  end
end
