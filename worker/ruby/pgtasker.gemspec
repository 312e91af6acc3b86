# frozen_string_literal: true

require_relative "lib/pgtasker/version"

Gem::Specification.new do |spec|
  spec.name = "pgtasker"
  spec.version = Tasker::VERSION
  spec.summary = "Workers in Ruby for Tasker, the workflow engine in PostgreSQL"
  spec.description = "Handlers in Ruby for the steps of Tasker's tasks; enqueueing by pg and " \
                     "ActiveRecord; an adapter for ActiveJob."
  spec.authors = ["The Tasker authors"]
  spec.license = "MIT"
  # `.ci/packages gem` puts the native modules in: one gem for each platform, and inside of it one
  # module for each minor version of Ruby. A module that lies in lib itself is a build of one's own,
  # and in no gem. Without any, the gem can enqueue, and run tests.
  minors = Dir[File.join(__dir__, "lib/[0-9]*/pgtasker_ruby.{so,bundle}")]
           .map { |file| Gem::Version.new(File.basename(File.dirname(file))) }.sort
  spec.required_ruby_version = ">= #{minors.first || "3.1"}"
  if minors.any?
    # 3.5 of 3.4: its previews have another binary interface already.
    next_minor = Gem::Version.new("#{minors.last}.0").bump
    spec.required_ruby_version = [">= #{minors.first}", "< #{next_minor}.dev"]
    local = Gem::Platform.local
    musl = local.os == "linux" && RbConfig::CONFIG["host_os"].include?("musl")
    # Without the version of the system, and without "gnu", which RubyGems of Ruby 3.1 do not know.
    spec.platform = Gem::Platform.new([local.cpu, local.os, musl ? "musl" : nil])
  end
  spec.files = Dir.chdir(__dir__) do
    Dir["lib/pgtasker.rb", "lib/pgtasker/**/*.rb", "lib/[0-9]*/pgtasker_ruby.{so,bundle}",
        "sig/**/*.rbs", "exe/*", "README.md", "LICENSE"]
  end
  spec.bindir = "exe"
  spec.executables = ["pgtasker-worker"]
  # Drivers are the application's: pg, ActiveRecord.
  spec.metadata = { "rubygems_mfa_required" => "true" }
end
