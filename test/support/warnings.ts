// Loaded before each test file (.taprc): a leak of event listeners fails the test, with the stack of the listener that was
// one too many, instead of a line on stderr that nobody reads.
process.on('warning', (warning) => {
  if (warning.name === 'MaxListenersExceededWarning') throw warning;
});
