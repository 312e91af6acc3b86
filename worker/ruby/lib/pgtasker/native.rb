# frozen_string_literal: true

module Tasker
  # Loads Tasker::Native, the class that runs the worker: it has `start`, `poll`, `complete`, `ask`.
  # @api private
  module NativeLoader
    NAME = "pgtasker_ruby"
    MINOR = RUBY_VERSION[/\d+\.\d+/]
    LIB = File.expand_path("..", __dir__)

    module_function

    # @return [Class]
    # @raise [NativeError] it is missing, or does not fit
    def native
      load_module unless Tasker.const_defined?(:Native, false)
      Tasker.const_get(:Native)
    end

    # A gem has one for each minor version of Ruby, a build of one's own has just one.
    def load_module
      # One that is there and cannot be loaded says why; looking further would hide it.
      require(minors.include?(MINOR) ? File.join(LIB, MINOR, NAME) : NAME)
    rescue LoadError => error
      raise NativeError, <<~TEXT.chomp
        pgtasker's native module cannot be loaded on #{RUBY_PLATFORM} with Ruby #{MINOR}: \
        #{error.message}
        This gem has it for #{minors.empty? ? "no Ruby" : "Ruby #{minors.join(", ")}"}. \
        There are gems for x86_64-linux and aarch64-linux (glibc and musl) and for macOS; \
        anywhere else build it: cargo build --release -p pgtasker-ruby --features module. \
        Enqueueing (Tasker::Client) needs no native module.
      TEXT
    end

    # The versions of Ruby that this gem has a module for.
    def minors
      files = Dir[File.join(LIB, "[0-9]*", "#{NAME}.{so,bundle}")]
      files.map { |file| File.basename(File.dirname(file)) }.sort
    end
  end
end
