# frozen_string_literal: true

require "fileutils"
require "json"
require "tmpdir"

# `tasker up` in a folder of its own, once for all tests of the process: a PostgreSQL and an
# orchestrator, without a worker.
class Server
  ROOT = File.expand_path("../../../..", __dir__)
  # Seconds.
  PATIENCE = 120

  class << self
    # @return [String] the database
    def url = instance.url

    def instance
      @instance ||= new.tap { |server| Minitest.after_run { server.stop } }
    end
  end

  attr_reader :url

  def initialize
    @folder = Dir.mktmpdir("tasker-ruby")
    program = ENV.fetch("TASKER_BIN", File.join(ROOT, "target/debug/tasker"))
    raise "no #{program}: cargo build, or TASKER_BIN=…" unless File.exist?(program)

    read, write = IO.pipe
    @log = File.join(@folder, "log")
    # In a group of its own: ctrl-c is for the tests, which then stop it.
    @pid = Process.spawn(program, "up", "--no-worker", "--http", "off", "--json",
                         chdir: @folder, out: write, err: @log, pgroup: true)
    write.close
    @url = announced(read)
  end

  def stop
    Process.kill("TERM", @pid)
    Process.wait(@pid)
    FileUtils.rm_rf(@folder)
  end

  private

  def announced(output)
    text = +""
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + PATIENCE
    loop do
      left = deadline - Process.clock_gettime(Process::CLOCK_MONOTONIC)
      raise "tasker up says nothing: #{File.read(@log)}" unless output.wait_readable([left, 0].max)

      text << output.readpartial(4096)
      return JSON.parse(text).fetch("url")
    rescue JSON::ParserError
      next
    rescue EOFError
      raise "tasker up ended: #{File.read(@log)}"
    end
  end
end
