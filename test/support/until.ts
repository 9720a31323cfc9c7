/** Waits until something holds. Throws an error that says `otherwise` if it does not within so many seconds. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  otherwise = 'it never came to that',
  seconds = 120,
): Promise<void> {
  for (const end = Date.now() + seconds * 1000; !(await holds()); ) {
    if (Date.now() > end) throw new Error(otherwise);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
