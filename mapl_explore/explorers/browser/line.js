// The line to Python: what a person does goes there, and the answer comes with the picture.

const PATIENCE = 3000; // ms without an answer from Python, after which the banner says so

// One message at a time waits for its answer, the others wait in a row; a newer value of a knob takes the place of the
// one before it, so that a drag never queues.
class Line {
  constructor(model, silent, refused) {
    // Two windows may show one explorer: each looks for its own answers.
    Object.assign(this, { model, silent, refused, id: Math.random().toString(36).slice(2), count: 0, waiting: null, queue: [] });
    this.answer = () => this.done(model.get("answer"));
    model.on("change:answer", this.answer);
  }

  say(message) {
    if (!this.waiting) return this.send(message);
    const last = this.queue.at(-1);
    if (last?.kind === "set" && message.kind === "set" && last.knob === message.knob) this.queue.pop();
    this.queue.push(message);
  }

  send(message) {
    this.waiting = `${this.id}-${++this.count}`;
    this.greets = message.kind === "hello";
    this.timer = setTimeout(() => this.lost(), PATIENCE);
    try {
      this.model.send({ ...message, serial: this.waiting });
    } catch {
      this.lost();
    }
  }

  done({ serial, error }) {
    if (!serial?.startsWith(this.id)) return;
    this.silent(false); // also where an answer comes late
    if (serial !== this.waiting) return;
    clearTimeout(this.timer);
    this.waiting = null;
    if (!this.greets) this.refused(error); // what was wrong with the address stays to be read
    if (this.queue.length) this.send(this.queue.shift());
    else this.idle?.();
  }

  lost() {
    clearTimeout(this.timer);
    this.waiting = null;
    this.queue = [];
    this.silent(true);
    this.idle?.();
  }

  end() {
    clearTimeout(this.timer);
    this.model.off("change:answer", this.answer);
  }
}
