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
  spec.required_ruby_version = ">= 3.1"
  # The native module is inside: one gem for each platform.
  native = Dir[File.join(__dir__, "lib/**/pgtasker_ruby.{so,bundle}")]
  spec.platform = Gem::Platform.local if native.any?
  spec.files = Dir.chdir(__dir__) { Dir["lib/**/*.{rb,so,bundle}", "sig/**/*.rbs", "exe/*"] }
  spec.bindir = "exe"
  spec.executables = ["pgtasker-worker"]
  # Drivers are the application's: pg, ActiveRecord.
  spec.metadata = { "rubygems_mfa_required" => "true" }
end
