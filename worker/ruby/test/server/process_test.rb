# frozen_string_literal: true

require_relative "../server_helper"
require "rbconfig"
require "tmpdir"

# Workers as processes: signals, kill -9, forks.
class ProcessTest < ServerTest
  ROOT = File.expand_path("../..", __dir__)
  APPLICATION = <<~RUBY
    require "pgtasker"
    # Says where it is by lines of its output.
    $stdout.sync = true
    Tasker.worker.logger = Logger.new($stderr)
    Tasker.worker.handler("work") do |ctx|
      puts "began \#{ctx.attempt}"
      sleep ctx.config["seconds"]
      puts "ended"
      Process.pid
    end
    Tasker.worker.handler("forever") do |ctx|
      puts "began \#{ctx.attempt}"
      sleep
    end
    Tasker.worker.handler("forked") do
      read, write = IO.pipe
      child = fork do
        write.write((begin; Tasker.worker.stop; rescue => e; e.message; end))
        exit!
      end
      write.close
      Process.wait(child)
      read.read
    end
  RUBY

  def setup
    super
    @folder = Dir.mktmpdir
    @app = File.join(@folder, "app.rb")
    File.write(@app, APPLICATION)
    @pids = []
    @outputs = []
  end

  def teardown
    @pids.each do |pid|
      Process.kill("KILL", pid)
      Process.wait(pid)
    rescue SystemCallError
      nil
    end
    FileUtils.rm_rf(@folder)
    super
  end

  # Starts `pgtasker-worker`; returns its id and its output.
  def spawn_worker(*arguments, **env)
    output, write = IO.pipe
    env = { "DATABASE_URL" => Server.url, "TASKER_WORKER_LEASE" => "2s" }
          .merge(env.transform_keys(&:to_s))
    pid = Process.spawn(env, RbConfig.ruby, "-w", "-I#{ROOT}/lib", "#{ROOT}/exe/pgtasker-worker",
                        "-r", @app, "-n", namespace, *arguments,
                        out: write, err: File.join(@folder, "log"))
    write.close
    @pids << pid
    # Kept: a pipe that nobody reads any more breaks the process that writes.
    @outputs << output
    [pid, output]
  end

  def status_of(pid)
    eventually("process #{pid} to end") { Process.wait2(pid, Process::WNOHANG) }.last
  end

  def line(output)
    assert output.wait_readable(SOON), File.read(File.join(@folder, "log"))
    output.gets&.chomp
  end

  def logged = File.read(File.join(@folder, "log"))

  def test_sigterm_lets_a_step_end_within_the_grace_period
    apply_one("work")
    apply({ name: "only", handler: { callable: "work", config: { seconds: 1 } } }, name: "slow")
    pid, output = spawn_worker
    task = enqueue(name: "slow")
    assert_equal "began 1", line(output)
    Process.kill("TERM", pid)
    assert_equal 0, status_of(pid).exitstatus, logged
    assert_equal "ended", line(output)
    assert_equal pid, result(task)["only"]
  end

  def test_what_does_not_end_in_time_is_given_back
    apply({ name: "only", handler: { callable: "forever" } })
    pid, output = spawn_worker(TASKER_WORKER_GRACE: "1s")
    task = enqueue
    assert_equal "began 1", line(output)
    Process.kill("TERM", pid)
    status = status_of(pid)
    assert_equal 0, status.exitstatus, logged
    work { |worker| worker.handler("forever") { |ctx| ["given back", ctx.attempt] } }
    assert_equal ["given back", 1], result(task)["only"]
  end

  def test_a_second_signal_ends_it_at_once
    apply({ name: "only", handler: { callable: "forever" } })
    pid, output = spawn_worker(TASKER_WORKER_GRACE: "60s")
    enqueue
    assert_equal "began 1", line(output)
    Process.kill("INT", pid)
    sleep 0.05
    began = now
    Process.kill("INT", pid)
    assert_equal 130, status_of(pid).exitstatus
    assert_operator now - began, :<, 5
  end

  def test_another_worker_finishes_what_a_killed_one_began
    apply({ name: "only", handler: { callable: "forever" } })
    pid, output = spawn_worker
    task = enqueue
    assert_equal "began 1", line(output)
    Process.kill("KILL", pid)
    work { |worker| worker.handler("forever") { "finished" } }
    assert_equal "finished", result(task)["only"]
  end

  def test_a_fork_within_a_handler_says_that_it_is_one
    apply_one("forked")
    spawn_worker
    assert_match(/its threads are not in its fork \d+: start the worker after the fork/, result_of)
  end

  def test_several_processes
    apply({ name: "only", handler: { callable: "work", config: { seconds: 0.5 } } })
    pid, = spawn_worker("--processes", "2", "--concurrency", "1")
    pids = []
    eventually("both to work") do
      tasks = client.enqueue_tasks(namespace, "flow", [{}] * 2)
      pids |= tasks.map { |task| result(task)["only"] }
      pids.size == 2
    end
    refute_includes pids, pid
    Process.kill("TERM", pid)
    assert_equal 0, status_of(pid).exitstatus, logged
  end

  def test_processes_end_with_the_one_that_started_them
    apply({ name: "only", handler: { callable: "work", config: { seconds: 0 } } })
    pid, = spawn_worker("--processes", "2")
    worker = result_of
    refute_equal pid, worker
    Process.kill("KILL", pid)
    eventually("the worker to end") do
      Process.kill(0, worker) && nil
    rescue Errno::ESRCH
      true
    end
  end

  def test_what_cannot_be_run_says_why
    pid, = spawn_worker(DATABASE_URL: "")
    assert_equal 1, status_of(pid).exitstatus
    assert_match(/pgtasker-worker: DATABASE_URL is not set/, logged)
  end
end
