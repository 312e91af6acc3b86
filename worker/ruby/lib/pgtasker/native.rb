# frozen_string_literal: true

module Tasker
  # Loads Tasker::Native, the class that runs the worker: it has `start`, `poll`, `complete`, `ask`.
  # @api private
  module NativeLoader
    NAME = "pgtasker_ruby"

    module_function

    # @return [Class]
    # @raise [NativeError] it is missing, or does not fit
    def native
      load_module unless Tasker.const_defined?(:Native, false)
      Tasker.const_get(:Native)
    end

    # A gem has one for each minor version of Ruby, a build of one's own has just one.
    def load_module
      minor = RUBY_VERSION[/\d+\.\d+/]
      begin
        require_relative "../#{minor}/#{NAME}"
      rescue LoadError
        require NAME
      end
    rescue LoadError => error
      raise NativeError, <<~TEXT.chomp
        pgtasker's native module cannot be loaded on #{RUBY_PLATFORM} with Ruby #{minor}: \
        #{error.message}
        There are gems for x86_64-linux and aarch64-linux (glibc and musl) and for macOS; \
        anywhere else build it: cargo build --release -p pgtasker-ruby --features module. \
        Enqueueing (Tasker::Client) needs no native module.
      TEXT
    end
  end
end
