# frozen_string_literal: true

require_relative "../unit_helper"
require "io/wait"
require "open3"
require "pgtasker/processes"
require "tmpdir"

# `pgtasker-worker --processes`, with processes that do nothing.
class ProcessesTest < UnitTest
  LIB = File.expand_path("../../lib", __dir__)
  # Runs three of these, and says how it ended.
  PARENT = <<~'RUBY'
    require "pgtasker/processes"
    Tasker.logger = Logger.new(File.open("log", "w").tap { |file| file.sync = true })
    child = [RbConfig.ruby, "child.rb"]
    exit Tasker::Processes.new(child, 3, first_delay: 0.05).run
  RUBY
  CHILD = <<~'RUBY'
    $stdout.sync = true
    trap("TERM") do
      exit!(File.exist?("ends_with") ? File.read("ends_with").to_i : 0) unless File.exist?("stays")
    end
    puts "#{Process.pid} #{Process.getpgrp} #{ENV["TASKER_WORKER_METRICS"]}"
    # As long as the test.
    $stdin.read
  RUBY

  def setup
    @folder = Dir.mktmpdir
    { "parent.rb" => PARENT, "child.rb" => CHILD }.each { |name, text| write(name, text) }
    env = { "TASKER_WORKER_METRICS" => "127.0.0.1:9100" }
    @input, @output, @parent = Open3.popen2(env, RbConfig.ruby, "-w", "-I#{LIB}", "parent.rb",
                                            chdir: @folder)
    @children = Array.new(3) { line }
  end

  def teardown
    signal("KILL", @parent.pid)
    @children&.each { |pid, _| signal("KILL", pid) }
    [@input, @output].each(&:close)
    FileUtils.rm_rf(@folder)
  end

  def write(name, text) = File.write(File.join(@folder, name), text)
  def logged = File.read(File.join(@folder, "log"))

  def signal(name, pid)
    Process.kill(name, pid)
  rescue Errno::ESRCH
    nil
  end

  # What a process said when it had started: pid, group, metrics.
  def line
    assert @output.wait_readable(10), "no process has started"
    pid, group, metrics = @output.gets.split
    [pid.to_i, group.to_i, metrics]
  end

  def ended
    assert @parent.join(10), "it goes on"
    @parent.value.exitstatus
  end

  def test_each_has_a_group_and_metrics_of_its_own
    @children.each { |pid, group, _| assert_equal pid, group }
    assert_equal [0, 1, 2].map { |n| "127.0.0.1:#{9100 + n}" }, @children.map(&:last).sort
    signal("TERM", @parent.pid)
    assert_equal 0, ended
  end

  def test_one_that_dies_is_started_again
    killed, _, metrics = @children.shift
    2.times do
      signal("KILL", killed)
      killed, _, again = line
      assert_equal metrics, again
    end
    @children << [killed]
    assert_match(/process \d has ended with signal 9: started again/, logged)
    signal("INT", @parent.pid)
    assert_equal 0, ended
  end

  def test_one_that_ends_badly_is_told
    write("ends_with", "3")
    signal("TERM", @parent.pid)
    assert_equal 1, ended
  end

  def test_a_second_signal_ends_all_at_once
    write("stays", "")
    signal("TERM", @parent.pid)
    refute @parent.join(0.3)
    signal("TERM", @parent.pid)
    assert_equal 1, ended
    @children.each { |pid, _| assert_raises(Errno::ESRCH) { Process.kill(0, pid) } }
  end

  def test_only_a_port_counts_up
    name = Tasker::Processes::METRICS
    environment = ->(text) { Tasker::Processes.environment(2, { name => text }) }
    assert_equal "[::1]:82", environment["[::1]:80"].values.first
    [nil, "", "off", "0.0.0.0:0"].each { |text| assert_empty environment[text] }
  end
end
