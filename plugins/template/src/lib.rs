pub struct N;
