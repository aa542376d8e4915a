"use strict";
// Search: all texts of a script joined, so that the browser's own search goes through thousands of jobs at a time.

{
  const textOf = (job) => {
    const texts = [job.prompt, job.name, job.seed, job.model, job.error_kind, job.error_message, job.trouble, ...Gallery.readColumns(job, "extra")];
    return Gallery.searchable(texts.join("\n"));
  };

  // The texts of a script's jobs one after the other, and where each one ends. A word has no space, so none goes over an end.
  const build = (part) => {
    const texts = part.jobs.map(textOf);
    let end = 0;
    const ends = Uint32Array.from(texts, (text) => (end += text.length + 1));
    part.searched = { text: texts.join("\n"), ends };
  };

  let parts = [];

  Gallery.searchIn = (jobs) => {
    parts = Gallery.partsOf(jobs);
  };

  Gallery.prepareSearch = () => Gallery.eachInPieces(parts, (part) => void (part.searched || build(part)));

  // Call `then` once every text is there: at once, or after the rest of the work.
  Gallery.whenSearchable = (then) => {
    if (parts.every(({ searched }) => searched)) then();
    else Gallery.prepareSearch().then(then);
  };

  const markWord = ({ text, ends }, word, found, first) => {
    let row = 0;
    for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, ends[row])) {
      while (ends[row] <= at) row += 1;
      found[first + row] += 1;
    }
  };

  // For each job how many of the words it has; null where there are none.
  Gallery.findWords = (jobs, words) => {
    if (!words.length) return null;
    const found = new Uint16Array(jobs.length);
    let first = 0;
    for (const part of Gallery.partsOf(jobs)) {
      if (!part.searched) build(part);
      for (const word of words) markWord(part.searched, word, found, first);
      first += part.count;
    }
    return found;
  };
}
